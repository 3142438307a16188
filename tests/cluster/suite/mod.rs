//! One module for each thing that is claimed about a cluster, and what they share.
//!
//! Every test connects first, which makes the tests take turns: all of them register the webhook under the one
//! name that the manifests give it. The environment says what is there:
//!
//! | Variable | Meaning |
//! |---|---|
//! | `KUBECONFIG` | the cluster; without it every test passes at once |
//! | `NATIVE_SIDECAR_INSTALLED` | `1`: the webhook runs in the cluster already, so none is started here |
//! | `NATIVE_SIDECAR_PROGRAM` | the program to test, by default the one that Cargo built |
//! | `NATIVE_SIDECAR_TEST_HOST` | the address under which the API server reaches this machine, by default 127.0.0.1 |
//! | `NATIVE_SIDECAR_TEST_IMAGE` | an image with a shell that nodes have or can pull |
//! | `NATIVE_SIDECAR_OWN_IMAGE` | this webhook's own image, where nodes have it |
//! | `CLUSTER_STATE` | the cluster's folder, where it was made by `tests/cluster`: `admission/` is what its API server shows |
//! | `NATIVE_SIDECAR_BAD_DAY` | `long`: ten thousand pods where a thousand are created otherwise |
//! | `NATIVE_SIDECAR_LIVES` | a part of names: `lives` looks at these pods only, and says all that it heard |
//! | `AUDIT_LOG` | the API server's audit log, where it can be read |
//! | `NATIVE_SIDECAR_ISTIO_INJECTOR` | Istio's injector, where it was built |
//! | `NATIVE_SIDECAR_CLOUD_SQL_PROXY`, `NATIVE_SIDECAR_COLLECTOR` | images of these sidecars, where they were built and nodes have them |
//! | `KUBECTL` | the kubectl that renders the manifests and stands for a person at a terminal, by default the one in the `PATH` |

// The harness: a cluster, our webhook in it, and other people's webhooks.
#[path = "../../server/balancer.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod balancer;
mod certificates;
mod cluster;
#[path = "../../command/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod command;
mod installation;
mod kubectl;
mod manifests;
mod neighbour;
mod pods;
mod process;
mod stand_in;
mod stream;
mod webhook;

// What is claimed.
mod burst;
mod controllers;
mod golden;
mod istio;
mod kubelet;
mod lives;
mod managed;
mod mutual;
mod neighbours;
mod nodes;
mod observe;
mod outside;
mod programs;
mod replicas;
mod requests;
mod rights;
mod rotation;
mod routes;
mod story;
mod words;
