"""Models of LibKGE (github.com/uma-pi1/kge), as its files state them."""
