"""The operations available to operators. Commands, API and admin call these functions."""
