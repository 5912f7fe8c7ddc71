"""The contracts: everything that a plugin may implement, one file each.

    initializer  a method
    family       a kind of model
    dataset      images and labels
    task         what a model is asked
    metric       a number that is measured
    executor     a place where stages are computed

Beside them stand what a method is given (`context`) and what it stores (`gene`).
"""
