//! Starts the real programs on free ports and runs whole scenarios over them.

pub mod program;
pub mod world;

pub use program::{Program, run};
pub use world::World;
