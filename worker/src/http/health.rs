//! `/livez`, `/readyz`, `/healthz`, `/metrics`.
