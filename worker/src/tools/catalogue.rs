//! Every tool: its name, its description, its schema, its body.
