"""Words used in pictures: prompts resolved, a model chosen, pictures drawn and written."""
