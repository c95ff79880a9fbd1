"""The networks of DeblurGAN, DeblurGAN-v2 and the U-Net, and what trains against them."""
