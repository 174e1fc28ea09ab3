//! At a terminal, with hostile names, banners, titles and errors: no control character reaches it
//! but evonic's own.

mod commands;
mod hangup;
mod impostor;
mod screen;
