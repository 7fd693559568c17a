"""What is made small: how far a model's next tokens are from another's."""

import torch
from torch.nn.functional import log_softmax


def kl_divergence(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Logits [..., vocabulary] of both → mean over tokens of KL(teacher ‖ student) in nats."""
    of_teacher, of_student = log_softmax(teacher, -1), log_softmax(student, -1)
    return (of_teacher.exp() * (of_teacher - of_student)).sum(-1).mean()
