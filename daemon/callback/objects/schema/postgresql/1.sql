create table if not exists objects (
    id bigint primary key,
    last_seen timestamptz not null
);

-- Rows are replaced all the time; what is left of them is cleared away early.
alter table objects set (autovacuum_vacuum_scale_factor = 0.05);

-- finds what has run out
create index if not exists objects_last_seen on objects (last_seen);
