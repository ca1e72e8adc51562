"""What operators may do. Commands, API and admin are entry points to these functions."""
