//! The REST API. Each resource has one file.

pub mod agents;
pub mod attention;
pub mod audit;
pub mod calls;
pub mod cloud;
pub mod command;
pub mod commands;
pub mod dispatches;
pub mod egress;
pub mod ingress;
pub mod login;
pub mod me;
pub mod participants;
pub mod projects;
pub mod record;
pub mod rooms;
pub mod sessions;
pub mod test_webhook;
pub mod usage;
pub mod watch;
