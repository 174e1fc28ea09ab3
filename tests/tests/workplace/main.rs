//! Workplaces on real parts: local, SSH, Docker.

mod chaos;
mod containers;
mod cycles;
mod homes;
mod programs;
mod residue;
mod speed;
mod survive;
mod transfer;
