"""What finished runs add up to: tables, sentences made from the same numbers, the curves of the noise study, and what
others published. Nothing is trained here."""
