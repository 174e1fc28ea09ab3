//! Installing: what each numbered point of it must show. Point 1 is in several modules.

mod api;
mod audit;
mod house;
mod keys;
mod leak;
mod limits;
mod markers;
mod power;
mod secrets;
mod told;
mod unit;
