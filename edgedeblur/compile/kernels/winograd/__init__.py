"""Winograd's methods: `square` in int16 for any 3x3 layer, `rows` in int8 for layers in Winograd form."""
