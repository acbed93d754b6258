//! Domains and their virtual processors: what they are made of, how they begin and end.
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
pub(crate) mod audit;
pub mod charge;
pub mod context;
#[cfg(target_os = "none")]
pub(crate) mod control;
#[cfg(target_os = "none")]
pub(crate) mod destroy;
#[cfg(target_os = "none")]
mod domains;
pub mod entry_points;
#[cfg(target_os = "none")]
mod events;
#[cfg(target_os = "none")]
mod grants;
pub mod history;
pub mod image;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
pub(crate) mod shutdown;
#[cfg(any(test, fuzzing))]
pub mod state_calls;
#[cfg(target_os = "none")]
mod vcpu;

#[cfg(target_os = "none")]
pub(crate) use domains::{Domain, Domains, NUMBERS, NoMemory};
#[cfg(target_os = "none")]
pub(crate) use grants::{CallersTables, GrantedFrames};
#[cfg(target_os = "none")]
pub(crate) use vcpu::Vcpu;
