-- last_seen: microseconds since the epoch
create table objects (
    id integer primary key,
    last_seen integer not null
);

-- finds what has run out
create index objects_last_seen on objects (last_seen);
