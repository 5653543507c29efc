"""The log of acts: who has changed what, and who was refused."""
