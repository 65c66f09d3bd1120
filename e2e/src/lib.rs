//! Starts the real programs on free ports and runs whole scenarios over them.

pub mod builder;
pub mod program;
pub mod user;
pub mod world;

pub use builder::Builder;
pub use program::{Program, run, wait_until};
pub use user::User;
pub use world::World;
