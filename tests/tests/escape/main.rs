//! An agent's command reaches nothing outside of its workplace: at each level, and as each user. What is
//! let through stands in the documentation.

mod attempts;
mod documented;
mod secrets;
mod unit;
