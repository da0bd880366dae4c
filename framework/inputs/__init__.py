"""Prompts, chats and images -> token ids and tensors, by the checkpoint's own tokenizer and processor."""
