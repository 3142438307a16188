//! The rows: what happens in each of them.

mod waves;

use crate::report::{Promise::NoneLost, Row};

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
        what: "330 calls at once from one address, `ulimit -n 64`",
        promise: NoneLost,
        run: |form| Box::pin(waves::with_64_descriptors(form, 330)),
    },
];
