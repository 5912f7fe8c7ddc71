"""From methods, a grid and a preset to cells and the stages that they need."""
