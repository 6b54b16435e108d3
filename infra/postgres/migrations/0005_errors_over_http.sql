-- Words on refused messages of devices that are not connected: device_errors with stream 0. They lie there for some minutes, and are found
-- by who asks over HTTP what is pending (infra/postgres/downlink.ts). Those of the other streams are taken by their bridges, in order.
drop index device_errors_stream;
create index device_errors_stream on device_errors (stream, id);
create index device_errors_device on device_errors (incarnation, id) where stream = 0;
