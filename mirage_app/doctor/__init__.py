"""``mirage doctor``: one module that looks, one that tells, and a probe that may crash without taking them along."""
