"""The numbers of a model card: tables in the form that published cards have, each with where it comes from."""
