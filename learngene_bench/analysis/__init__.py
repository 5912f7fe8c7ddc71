"""Looks into the weights of measured models: the pictures of the WAVE paper's Figures 3 and 6, and their numbers.

Each kind of analysis is a file: it measures models (torch), and draws what it measured on a `Page` of the results. A
model is one cell of a runs folder, as its method initialized it or as it was fine-tuned.
"""
