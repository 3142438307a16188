//! The rows: what happens in each of them.

mod certificates;
mod cluster;
mod floods;
mod logs;
mod machine;
mod replicas;
mod slow;
mod soak;
mod waves;

use crate::report::{
    Promise::{NoneLost, Reported},
    Row,
};

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "wave-150",
        what: "150 calls at once from one address",
        promise: NoneLost,
        run: |form| Box::pin(waves::by_default(form, 150)),
    },
    Row {
        name: "wave-300",
        what: "300 calls at once from one address",
        promise: NoneLost,
        run: |form| Box::pin(waves::by_default(form, 300)),
    },
    Row {
        name: "wave-400",
        what: "400 calls at once from one address",
        promise: NoneLost,
        run: |form| Box::pin(waves::by_default(form, 400)),
    },
    Row {
        name: "wave-600",
        what: "600 calls at once from one address",
        promise: NoneLost,
        run: |form| Box::pin(waves::by_default(form, 600)),
    },
    Row {
        name: "wave-1000",
        what: "1,000 calls at once from one address",
        promise: NoneLost,
        run: |form| Box::pin(waves::by_default(form, 1_000)),
    },
    Row {
        name: "wave-1000-into-128",
        what: "1,000 calls at once from one address, `--max-connections 128`",
        promise: NoneLost,
        run: |form| Box::pin(waves::with_128_connections(form, 1_000)),
    },
    Row {
        name: "wave-330-into-64-descriptors",
        what: "330 calls at once from three addresses that keep 25 connections each, `ulimit -n 64`",
        promise: NoneLost,
        run: |form| Box::pin(waves::with_64_descriptors(form)),
    },
    Row {
        name: "slow-bodies-240-addresses",
        what: "240 addresses with a slow body each",
        promise: NoneLost,
        run: |form| Box::pin(slow::bodies_of_240_addresses(form)),
    },
    Row {
        name: "slow-bodies-crowd",
        what: "1,500 addresses with a slow body each (quick form: 240, `--max-connections 128`)",
        promise: NoneLost,
        run: |form| Box::pin(slow::bodies_of_a_crowd(form)),
    },
    Row {
        name: "slow-bodies-same-address",
        what: "300 slow bodies from the good calls' own address",
        promise: NoneLost,
        run: |form| Box::pin(slow::bodies_of_the_same_address(form)),
    },
    Row {
        name: "slow-bodies-same-address-crowd",
        what: "1,500 slow bodies from the good calls' own address (quick form: 240, `--max-connections 128`)",
        promise: NoneLost,
        run: |form| Box::pin(slow::bodies_of_a_crowd_at_the_same_address(form)),
    },
    Row {
        name: "slow-headers",
        what: "1,500 addresses with slow headers each (quick form: 240, `--max-connections 128`)",
        promise: NoneLost,
        run: |form| Box::pin(slow::headers(form)),
    },
    Row {
        name: "slow-handshakes",
        what: "1,500 addresses with a slow handshake each (quick form: 240, `--max-connections 128`)",
        promise: NoneLost,
        run: |form| Box::pin(slow::handshakes(form)),
    },
    Row {
        name: "silent-connections",
        what: "1,500 addresses that connect and say nothing (quick form: 240, `--max-connections 128`)",
        promise: NoneLost,
        run: |form| Box::pin(slow::silent(form)),
    },
    Row {
        name: "two-crowds",
        what: "3,000 connections that say nothing from two addresses, `--max-connections 128`: the backlog is theirs too",
        promise: NoneLost,
        run: |form| Box::pin(slow::two_crowds(form)),
    },
    Row {
        name: "idle-connections",
        what: "1,500 addresses that end the handshake and say nothing (quick form: 240, `--max-connections 128`)",
        promise: NoneLost,
        run: |form| Box::pin(slow::idle_ones(form)),
    },
    Row {
        name: "slow-chunked-six-addresses",
        what: "six addresses with a slow chunked body each, while pods of 100 KB are reviewed",
        promise: NoneLost,
        run: |form| Box::pin(slow::chunked_of_six_addresses(form)),
    },
    Row {
        name: "slow-chunked-one-address",
        what: "six slow chunked bodies from one address, while pods of 100 KB are reviewed",
        promise: NoneLost,
        run: |form| Box::pin(slow::chunked_of_one_address(form)),
    },
    Row {
        name: "large-uids",
        what: "four connections with a uid or an apiVersion of 7 MiB each, read slowly, while answers above 4 KiB are given",
        promise: NoneLost,
        run: |form| Box::pin(slow::large_uids(form)),
    },
    Row {
        name: "no-readers",
        what: "100 addresses that send reviews with large answers and read none",
        promise: NoneLost,
        run: |form| Box::pin(slow::no_readers(form)),
    },
    Row {
        name: "dear-reviews",
        what: "bodies of up to 64 KiB that are as dear to review as any known, from 16 addresses without a pause",
        promise: NoneLost,
        run: |form| Box::pin(slow::dear_reviews(form)),
    },
    Row {
        name: "too-large-by-its-own-word",
        what: "a declared body of 9 MiB, of which no byte is sent: answered 413 by its headers",
        promise: NoneLost,
        run: |form| Box::pin(slow::too_large_by_its_own_word(form)),
    },
    Row {
        name: "burst-of-large-bodies",
        what: "20 bodies of 8 MiB at a time, then rest: RSS below 30 MiB within a minute",
        promise: NoneLost,
        run: |form| Box::pin(slow::burst(form)),
    },
    Row {
        name: "failed-handshakes",
        what: "thousands of failed handshakes a second from four addresses: plain HTTP",
        promise: NoneLost,
        run: |form| Box::pin(floods::failed_handshakes(form)),
    },
    Row {
        name: "failed-handshakes-of-many",
        what: "the same, each from an address of its own",
        promise: NoneLost,
        run: |form| Box::pin(floods::failed_handshakes_of_many(form)),
    },
    Row {
        name: "distrustful-clients",
        what: "clients that do not trust the certificate, as many as there is time for",
        promise: NoneLost,
        run: |form| Box::pin(floods::distrust(form)),
    },
    Row {
        name: "refused-requests",
        what: "requests that are no reviews, as many as are answered, from four addresses",
        promise: NoneLost,
        run: |form| Box::pin(floods::refusals(form)),
    },
    Row {
        name: "connect-and-close",
        what: "connections that are closed at once, thousands a second from one address",
        promise: NoneLost,
        run: |form| Box::pin(floods::connections(form)),
    },
    Row {
        name: "health-port-flood",
        what: "the same on the health port, which is probed meanwhile from another address",
        promise: NoneLost,
        run: |form| Box::pin(floods::health(form)),
    },
    Row {
        name: "health-port-held",
        what: "200 connections to the health port that say nothing, from one address",
        promise: NoneLost,
        run: |form| Box::pin(floods::health_held(form)),
    },
    Row {
        name: "health-port-busy",
        what: "200 connections to the health port that are kept busy, from one address",
        promise: NoneLost,
        run: |form| Box::pin(floods::health_busy(form)),
    },
    Row {
        name: "metrics-flood",
        what: "`/metrics` asked as often as it answers, 16 at a time from one address",
        promise: NoneLost,
        run: |form| Box::pin(floods::metrics(form)),
    },
    Row {
        name: "h2-rapid-reset",
        what: "HTTP/2: requests that are reset at once",
        promise: NoneLost,
        run: |form| Box::pin(floods::rapid_reset(form)),
    },
    Row {
        name: "h2-continuation",
        what: "HTTP/2: headers that never end",
        promise: NoneLost,
        run: |form| Box::pin(floods::continuation(form)),
    },
    Row {
        name: "h2-settings",
        what: "HTTP/2: settings",
        promise: NoneLost,
        run: |form| Box::pin(floods::settings(form)),
    },
    Row { name: "h2-pings", what: "HTTP/2: pings", promise: NoneLost, run: |form| Box::pin(floods::pings(form)) },
    Row {
        name: "h2-pings-unread",
        what: "HTTP/2: pings whose answers are not read, from 16 addresses",
        promise: NoneLost,
        run: |form| Box::pin(floods::pings_unread(form)),
    },
    Row {
        name: "h2-windows",
        what: "HTTP/2: answers without a window, and a byte more of it at a time, from 256 addresses",
        promise: NoneLost,
        run: |form| Box::pin(floods::windows(form)),
    },
    Row {
        name: "h2-empty-data",
        what: "HTTP/2: bodies of empty frames",
        promise: NoneLost,
        run: |form| Box::pin(floods::empty_data(form)),
    },
    Row {
        name: "log-unread",
        what: "the log goes to a pipe that nobody reads",
        promise: NoneLost,
        run: |form| Box::pin(logs::unread(form)),
    },
    Row {
        name: "log-full",
        what: "the log goes to a disk that is full",
        promise: NoneLost,
        run: |form| Box::pin(logs::full(form)),
    },
    Row {
        name: "log-gone",
        what: "the log goes to a pipe whose reader has gone",
        promise: NoneLost,
        run: |form| Box::pin(logs::gone(form)),
    },
    Row {
        name: "certificate-in-place",
        what: "the certificate is rotated 100 times, in place (quick form: 15)",
        promise: NoneLost,
        run: |form| Box::pin(certificates::rotated_in_place(form)),
    },
    Row {
        name: "certificate-by-symlink",
        what: "the certificate is rotated 100 times, by symlink (quick form: 15)",
        promise: NoneLost,
        run: |form| Box::pin(certificates::rotated_by_symlink(form)),
    },
    Row {
        name: "certificate-bad-pairs",
        what: "pairs that are unreadable, broken or no pair are put in place",
        promise: NoneLost,
        run: |form| Box::pin(certificates::bad_pairs(form)),
    },
    Row {
        name: "certificate-expired",
        what: "a certificate that has expired is put in the place of one that has not",
        promise: NoneLost,
        run: |form| Box::pin(certificates::expired(form)),
    },
    Row {
        name: "client-ca-withdrawn",
        what: "one of two client CAs is withdrawn, while somebody it vouched for is connected",
        promise: NoneLost,
        run: |form| Box::pin(certificates::client_ca_withdrawn(form)),
    },
    Row {
        name: "rolling-restart",
        what: "two replicas behind a balancer are told to stop and replaced, one after the other",
        promise: NoneLost,
        run: |form| Box::pin(replicas::rolling_restart(form)),
    },
    Row {
        name: "killed",
        what: "`kill -9` of one of two replicas; the balancer asks every second",
        promise: Reported,
        run: |form| Box::pin(replicas::killed(form)),
    },
    Row {
        name: "stopped",
        what: "SIGSTOP of one of two replicas, later SIGCONT; the balancer asks every second",
        promise: Reported,
        run: |form| Box::pin(replicas::stopped(form)),
    },
    Row {
        name: "clock-stepped",
        what: "the clock is stepped by hours and weeks, forward and back",
        promise: NoneLost,
        run: |form| Box::pin(machine::stepped_clock(form)),
    },
    Row {
        name: "cpu-throttled",
        what: "a tenth of a processor",
        promise: NoneLost,
        run: |form| Box::pin(machine::little_cpu(form)),
    },
    Row {
        name: "descriptors-short",
        what: "`ulimit -n 64`, and 48 addresses that connect and say nothing",
        promise: NoneLost,
        run: |form| Box::pin(machine::few_descriptors(form)),
    },
    Row {
        name: "memory-short",
        what: "256 MiB, and 126 addresses with what takes most of it: large bodies, slow ones, answers not read",
        promise: NoneLost,
        run: |form| Box::pin(machine::little_memory(form)),
    },
    Row {
        name: "api-server-away",
        what: "managed certificates, and the API server away for ten minutes (quick form: 3 s)",
        promise: NoneLost,
        run: |form| Box::pin(cluster::away(form)),
    },
    Row {
        name: "soak",
        what: "mixed traffic, good and bad, for ten minutes or an hour (quick form: 5 s), then rest",
        promise: NoneLost,
        run: |form| Box::pin(soak::soak(form)),
    },
];
