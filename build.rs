//! The dashboard's built files are embedded: a new build of them is a new binary.

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
}
