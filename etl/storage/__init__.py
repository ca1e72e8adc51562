"""The only writer of raw, unified and quarantine, always in a fenced transaction or under the checkpoint's lock."""
