"""From objects and C to programs and libraries."""
