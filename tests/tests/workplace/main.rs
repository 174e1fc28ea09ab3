//! Workplaces: one module for each numbered point of what they must show.

mod chaos;
mod containers;
mod cycles;
mod homes;
mod speed;
mod survive;
mod transfer;
