package io.edgedeblur

import android.graphics.Bitmap
import android.media.Image
import java.nio.ByteBuffer

/**
 * A compiled deblurring network. It takes images of [width] x [height], one at a time; instances are independent.
 *
 * @param threads that compute, the caller's included; 0 for what the network was compiled for.
 * @throws IllegalStateException a processor without the instructions that the network was compiled for.
 */
class Deblurrer(threads: Int = 0) : AutoCloseable {
    private var handle = nativeCreate(threads)

    val width: Int get() = nativeWidth()
    val height: Int get() = nativeHeight()

    /** Whose kernels run on this phone: "i8mm", "sdot" or "neon". */
    val instructionSet: String get() = nativeInstructionSet()

    /** Restores the image, [width] x [height], into a new bitmap. Takes some tens of milliseconds: not on the UI thread. */
    fun run(blurred: Bitmap): Bitmap {
        require(blurred.width == width && blurred.height == height) {
            "${blurred.width}x${blurred.height}; the network takes ${width}x$height"
        }
        val argb = IntArray(width * height)
        blurred.getPixels(argb, 0, width, 0, 0, width, height)
        run(argb)
        return Bitmap.createBitmap(argb, width, height, Bitmap.Config.ARGB_8888)
    }

    /** Restores the image in place: 0xAARRGGBB, row by row, [width] * [height]. Alpha stays. */
    @Synchronized
    fun run(argb: IntArray) = nativeRun(handle, argb)

    /**
     * Restores a camera's image (YUV_420_888) of any size, turned clockwise by [rotation] degrees, into a new bitmap.
     *
     * @param matrix,range what its colours mean: what cameras give is BT.601 of full range.
     * @param mask where it is restored, and how strongly; null for all of it.
     */
    @Synchronized
    fun run(image: Image, rotation: Int = 0, matrix: Int = BT601, range: Int = FULL, mask: Mask? = null): Bitmap {
        val turned = rotation % 180 != 0
        val across = if (turned) image.height else image.width
        val down = if (turned) image.width else image.height
        val pixels = ByteBuffer.allocateDirect(4 * across * down)
        val numbers = intArrayOf(across, down, RGBA, matrix, range, 4 * across, 1, 1, 1, 1, 1)
        runFrame(buffers(image), numbers(image, matrix, range), arrayOf(pixels), numbers, rotation, mask)
        return Bitmap.createBitmap(across, down, Bitmap.Config.ARGB_8888).apply { copyPixelsFromBuffer(pixels) }
    }

    /** The same from image to image, for an encoder's or an ImageWriter's: [to] has the size of the turned [from]. */
    @Synchronized
    fun run(
        from: Image, to: Image, rotation: Int = 0, matrix: Int = BT601, range: Int = FULL, mask: Mask? = null
    ) {
        val (read, written) = listOf(from, to).map { numbers(it, matrix, range) }
        runFrame(buffers(from), read, buffers(to), written, rotation, mask)
    }

    private fun runFrame(
        from: Array<ByteBuffer>, read: IntArray, to: Array<ByteBuffer>, written: IntArray, rotation: Int, mask: Mask?
    ) = nativeRunFrame(
        handle, from, read, to, written, rotation, mask?.values, mask?.width ?: 0, mask?.height ?: 0
    )

    private fun buffers(image: Image) = Array(image.planes.size) { image.planes[it].buffer }

    private fun numbers(image: Image, matrix: Int, range: Int): IntArray {
        val planes = image.planes
        val strides = planes.map { it.rowStride } + planes.map { it.pixelStride }
        return intArrayOf(image.width, image.height, YUV_420_888, matrix, range) + strides
    }

    @Synchronized
    override fun close() {
        nativeDestroy(handle)
        handle = 0
    }

    private external fun nativeCreate(threads: Int): Long
    private external fun nativeRun(handle: Long, argb: IntArray)
    private external fun nativeRunFrame(
        handle: Long, from: Array<ByteBuffer>, read: IntArray, to: Array<ByteBuffer>, written: IntArray, rotation: Int,
        mask: ByteBuffer?, maskWidth: Int, maskHeight: Int
    )
    private external fun nativeDestroy(handle: Long)
    private external fun nativeWidth(): Int
    private external fun nativeHeight(): Int
    private external fun nativeInstructionSet(): String

    companion object {
        const val BT601 = 0
        const val BT709 = 1
        const val LIMITED = 0
        const val FULL = 1
        private const val RGBA = 1
        private const val YUV_420_888 = 5

        init {
            System.loadLibrary("edgedeblur_model")
        }
    }
}

/**
 * Where an image is restored: a picture of any size that is laid over the whole upright one and interpolated. At 255 the
 * pixel is restored, at 0 it stays as it came, between them the two are blended. Of one pixel: a strength for all.
 *
 * @param strengths row by row, [width] * [height] bytes, which are copied.
 */
class Mask(val width: Int, val height: Int, strengths: ByteArray) {
    internal val values: ByteBuffer

    init {
        require(width > 0 && height > 0 && strengths.size.toLong() == width.toLong() * height) {
            "${strengths.size} strengths for a mask of ${width}x$height"
        }
        values = ByteBuffer.allocateDirect(strengths.size).put(strengths)
    }
}
