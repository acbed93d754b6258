//! Protocols as models that a model checker explores to the end: every order in which the steps of all
//! processors can happen, and every choice of what they do. What a step does to a word is the hypervisor's own
//! code; the model is who takes which step when.
#![forbid(unsafe_code)]

pub mod frame_types;
