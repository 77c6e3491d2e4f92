//! Options at the boundary: the environment, the command line, the file.

use crate::harness::*;

/// The variables of the Services `roomwatch` and `roomwatch-metrics`, as kubelet writes them
/// (pkg/kubelet/envvars/envvars.go).
const SERVICE_LINKS: &[(&str, &str)] = &[
    ("ROOMWATCH_SERVICE_HOST", "10.96.7.1"),
    ("ROOMWATCH_SERVICE_PORT", "3001"),
    ("ROOMWATCH_SERVICE_PORT_HTTP", "3001"),
    ("ROOMWATCH_SERVICE_PORT_WEB_HOOKS", "3001"),
    ("ROOMWATCH_PORT", "tcp://10.96.7.1:3001"),
    ("ROOMWATCH_PORT_3001_TCP", "tcp://10.96.7.1:3001"),
    ("ROOMWATCH_PORT_3001_TCP_PROTO", "tcp"),
    ("ROOMWATCH_PORT_3001_TCP_PORT", "3001"),
    ("ROOMWATCH_PORT_3001_TCP_ADDR", "10.96.7.1"),
    ("ROOMWATCH_PORT_53_UDP_ADDR", "10.96.7.1"),
    ("ROOMWATCH_METRICS_SERVICE_HOST", "fd00::7"),
    ("ROOMWATCH_METRICS_SERVICE_PORT", "9090"),
    ("ROOMWATCH_METRICS_PORT", "sctp://[fd00::7]:9090"),
    ("ROOMWATCH_METRICS_PORT_9090_SCTP", "sctp://[fd00::7]:9090"),
    ("ROOMWATCH_METRICS_PORT_9090_SCTP_ADDR", "fd00::7"),
];

#[test]
fn the_variables_of_a_kubernetes_service_named_roomwatch_do_not_stop_the_server() {
    let start = SERVICE_LINKS.iter().fold(Start::new(), |start, (name, value)| start.env(name, value));
    drop(start.start());
}

#[test]
fn a_misspelt_variable_is_an_error_that_names_it() {
    for (name, value) in [
        ("ROOMWATCH_LISTNE", "127.0.0.1:1"),
        ("ROOMWATCH_PORT", "3001"),
        ("ROOMWATCH_HOST", "10.96.7.1"),
        ("ROOMWATCH_PORT_3001", "3001"),
        ("ROOMWATCH_PORT_HTTP_TCP", "tcp://10.96.7.1:3001"),
        ("ROOMWATCH_PORT_3001_TCP_HOST", "10.96.7.1"),
        ("ROOMWATCH_SERVICE", "roomwatch"),
    ] {
        let log = Start::new().env(name, value).fails();
        assert!(log.contains(&format!("the environment has {name}, which is not an option")), "{log}");
    }
}
