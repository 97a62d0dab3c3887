"""A package, so that the areas can share cells and helpers by name: `from tests.contract.harness import agree`."""
