"""Deblurring generators: DeblurGAN v1, v2 (MobileNet, Inception), the U-Net; detection, loading, cost, ONNX."""
