//! An agent's command reaches nothing outside of its workplace: at each level, and as each user.

mod attempts;
