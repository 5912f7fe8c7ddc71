"""Finds what implements a contract by name, and makes it ready: methods with their options, data sets, executors.

Every contract's file ends with its entry-point group (`contracts.dataset.DATASETS`, ...), all by one mechanism,
`util.entry_points.Plugins`. This room adds what is more than a look-up.
"""
