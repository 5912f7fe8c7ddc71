"""The family `timm`: any model with stacks of equal blocks, described by what is found in it."""
