package io.edgedeblur

import android.graphics.Bitmap

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

    @Synchronized
    override fun close() {
        nativeDestroy(handle)
        handle = 0
    }

    private external fun nativeCreate(threads: Int): Long
    private external fun nativeRun(handle: Long, argb: IntArray)
    private external fun nativeDestroy(handle: Long)
    private external fun nativeWidth(): Int
    private external fun nativeHeight(): Int
    private external fun nativeInstructionSet(): String

    private companion object {
        init {
            System.loadLibrary("edgedeblur_model")
        }
    }
}
