//! Starts the real programs on free ports and runs whole scenarios over them.
