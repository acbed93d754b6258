//! The control side: what tools in a privileged domain ask about other domains and the machine.
//!
//! Everything here is a decision on plain data: who may do what ([`privilege`]), whether a wish for a domain makes
//! sense ([`create`]), what is said of a domain ([`describe`]), how pauses are counted ([`pauses`]), how far a
//! domain's life has come ([`life`]), whose a number is ([`numbers`]), bit maps and lists in the form that tools use
//! ([`bitmap`], [`policy`]). And which vCPUs a guest names for a flush ([`vcpu_mask`]).
//! `domain` carries decisions out, `hypercall` reads the arguments and writes the answers.
#![forbid(unsafe_code)]

pub mod bitmap;
pub mod create;
pub mod describe;
pub mod life;
pub mod numbers;
pub mod pauses;
pub mod policy;
pub mod privilege;
pub mod vcpu_mask;
