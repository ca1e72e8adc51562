"""The Django admin for operators: they view the pipeline's rows and act on them, but never edit them."""
