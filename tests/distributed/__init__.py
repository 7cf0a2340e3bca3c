"""Programs of several processes or devices, started by ``tests/test_distributed.py``: each prints what is wrong."""
