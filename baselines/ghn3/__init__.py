"""GHN-3: a graph hypernetwork that predicts a model's weights from its graph of operations (arXiv 2303.04143).

Read from top to bottom: `graph.py` (what it sees of a model), `layout.py` (names and shapes of its parameters),
`network.py` (its equations), `prediction.py` (from its outputs to a model's weights), `meta_batch.py` (its training),
`published.py` (files of the authors' weights), `initializer.py` (all of it as a method of the suite).
"""
