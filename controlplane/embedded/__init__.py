"""The whole service on one machine: real servers and our own processes under one small supervisor. Imports no Django."""
