import pytest
import torch

from metacompress_compressor.embedded.stages import Student


@pytest.fixture(scope="session")
def student() -> Student:
    """The embedded model with random weights."""
    torch.manual_seed(0)
    return Student().eval()
