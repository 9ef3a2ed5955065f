"""The terms of the products of gradients: tables of them, and what adds them up."""
